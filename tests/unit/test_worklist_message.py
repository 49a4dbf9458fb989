"""What a RIS is told of a study, read back with python-hl7 and checked against HL7's own table of ORU^R01."""

import re
from dataclasses import replace
from functools import partial

import hl7
import pytest
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from config.hl7 import Hl7Destination
from dicom_node.results.hl7_fields import escaped
from dicom_node.results.study import Film, PriorAnswer, StudyReading
from dicom_node.results.worklist_message import ORDERS_AT_MOST, build_message
from inference.prediction import Answer, Outcome
from tests import readings
from tests.builders import NAMES, chest_film
from tests.hl7_receiver import field_of
from tests.hostile_headers import CASES, Case, put
from tests.readings import LATERAL, header_of, likely, reading, uncertain, unlikely

ANSWERS: dict[str, Outcome | None] = {
    "likely": likely(),
    "uncertain": uncertain(),
    "unlikely": unlikely(),
    "not analysable": LATERAL,
    "failed": None,
}
film = partial(readings.film, rows=32, columns=32)  # only the header matters here
FILM = chest_film(rows=32, columns=32)


def ris(**settings: object) -> Hl7Destination:
    return Hl7Destination(name="ris", host="127.0.0.1", port=2575, **settings)  # type: ignore[arg-type]


def sent(study: StudyReading, *, is_told: bool = False, **settings: object) -> bytes:
    made = build_message(study, ris(normal_results="routine", **settings), is_told=is_told)
    assert made is not None
    return made


def told(study: StudyReading, *, is_told: bool = False, **settings: object) -> hl7.Message:
    """The message as a receiver reads it."""
    return hl7.parse(sent(study, is_told=is_told, **settings))


def assert_valid(content: bytes) -> None:
    """Check the message by HL7's own table of ORU^R01: its segments, their fields, types and lengths."""
    text = content.decode("utf-8")
    parsed = parse_message(text, validation_level=VALIDATION_LEVEL.STRICT, find_groups=True)
    assert parsed.validate()
    assert parsed.to_er7().rstrip("\r") == text.rstrip("\r")


def text_of(message: hl7.Message, segment: str, place: int, which: int = 0) -> str:
    return str(message.unescape(field_of(message, segment, place, which)))


def observation(message: hl7.Message, question: str) -> str:
    """What the message answers to a question (OBX-3)."""
    [found] = [each for each in message.segments("OBX") if str(each[3]).partition("^")[0] == question]
    return str(found[5])


def ordered(*requests: dict[str, object], **attributes: object) -> Film:
    """A film on which pneumonia is likely, made for these orders."""
    items = []
    for request in requests:
        item = Dataset()
        for keyword, value in request.items():
            setattr(item, keyword, value)
        items.append(item)
    return film(likely(), RequestAttributesSequence=items, **attributes)


def issuer(name: str, universal: str = "1.2.3") -> Dataset:
    item = Dataset()
    item.LocalNamespaceEntityID = name
    item.UniversalEntityID = universal
    item.UniversalEntityIDType = "ISO"
    return item


class TestPriority:
    """A priority is raised, never lowered."""

    def test_a_study_on_which_pneumonia_is_likely_gets_the_raised_priority(self) -> None:
        message = told(reading(film(likely())))
        assert field_of(message, "TQ1", 9) == "S^STAT^HL70485"
        assert field_of(message, "OBR", 27) == "^^^^^S"

    @pytest.mark.parametrize("is_told", [False, True])
    @pytest.mark.parametrize("key", [key for key in ANSWERS if key != "likely"])
    def test_no_other_study_has_a_word_of_priority_in_its_message(self, key: str, is_told: bool) -> None:
        message = told(reading(film(ANSWERS[key])), is_told=is_told, raised_priority="1^Emergency^99RIS")
        assert [str(each[0]) for each in message if str(each[0]) in ("TQ1", "TQ2")] == []
        assert (field_of(message, "OBR", 5), field_of(message, "OBR", 27)) == ("", "")
        assert "Emergency" not in str(message)

    @pytest.mark.parametrize(
        ("ordered_as", "raised", "is_sent"),
        [
            ("STAT", "S^STAT^HL70485", True),
            ("HIGH", "S^STAT^HL70485", True),
            ("whatever", "S^STAT^HL70485", True),
            ("STAT", "A^ASAP^HL70485", False),
            ("stat", "A^ASAP^HL70485", False),
            ("whatever", "A^ASAP^HL70485", False),
            ("HIGH", "A^ASAP^HL70485", True),
            ("MEDIUM", "A^ASAP^HL70485", True),
            ("STAT", "1^Emergency^99RIS", False),
            ("HIGH", "1^Emergency^99RIS", False),
            ("ROUTINE", "1^Emergency^99RIS", True),
            ("LOW", "1^Emergency^99RIS", True),
            ("", "1^Emergency^99RIS", True),
        ],
    )
    @pytest.mark.parametrize("in_request", [False, True])
    def test_an_order_that_may_be_more_urgent_already_keeps_what_it_has(
        self, ordered_as: str, raised: str, is_sent: bool, in_request: bool
    ) -> None:
        priority: dict[str, object] = {"RequestedProcedurePriority": ordered_as}
        number: dict[str, object] = {"RequestedProcedureID": "RP77"}
        made = ordered(number | priority) if in_request else ordered(number, **priority)
        message = told(reading(made), raised_priority=raised)
        found = field_of(message, "TQ1", 9) if "\rTQ1|" in str(message) else ""
        assert found == (raised if is_sent else "")
        assert bool(field_of(message, "OBR", 27)) == is_sent


class TestWhatIsSent:
    """Which studies, and as what."""

    @pytest.mark.parametrize("key", ANSWERS)
    def test_normal_results_send_nothing_unless_it_is_set(self, key: str) -> None:
        study = reading(film(ANSWERS[key]))
        assert (build_message(study, ris(), is_told=False) is None) == (key not in ("likely", "uncertain"))
        assert build_message(study, ris(normal_results="routine"), is_told=False) is not None

    @pytest.mark.parametrize("is_told", [False, True])
    @pytest.mark.parametrize("key", ANSWERS)
    def test_every_message_is_valid(self, key: str, is_told: bool) -> None:
        assert_valid(sent(reading(film(ANSWERS[key])), is_told=is_told))

    @pytest.mark.parametrize("key", ANSWERS)
    def test_who_was_told_of_a_study_is_told_of_every_change(self, key: str) -> None:
        content = build_message(reading(film(ANSWERS[key]), revision=2), ris(), is_told=True)
        assert content is not None
        message = hl7.parse(content)
        assert {field_of(message, "OBR", 25), *(str(each[11]) for each in message.segments("OBX"))} == {"C"}

    def test_a_result_is_never_final(self) -> None:
        message = told(reading(film(likely()), revision=2))
        assert {field_of(message, "OBR", 25), *(str(each[11]) for each in message.segments("OBX"))} == {"P"}

    def test_the_same_reading_makes_the_same_bytes_and_another_one_another_control_id(self) -> None:
        study = reading(film(likely()))
        content = sent(study)
        assert sent(reading(film(likely()))) == content
        other = Hl7Destination(name="other", host="127.0.0.1", port=2575)
        contents = [
            content,
            build_message(study, other, is_told=False),
            sent(reading(film(likely()), revision=2)),
        ]
        control_ids = {field_of(hl7.parse(each), "MSH", 10) for each in contents if each}
        assert len(control_ids) == 3
        assert all(re.fullmatch("[0-9A-F]{20}", each) for each in control_ids)

    def test_the_header_is_as_agreed_with_the_receiver(self) -> None:
        message = told(
            reading(film(likely())),
            sending_application="NODE^1.2.3^ISO",
            sending_facility="RADIOLOGY",
            receiving_application="RIS",
            receiving_facility="HOSPITAL",
        )
        found = [field_of(message, "MSH", place) for place in (3, 4, 5, 6, 7, 9, 11, 12, 18)]
        assert found == [
            *("NODE^1.2.3^ISO", "RADIOLOGY", "RIS", "HOSPITAL", "20260302003005+0100"),
            *("ORU^R01^ORU_R01", "P", "2.5.1", "UNICODE UTF-8"),
        ]

    @pytest.mark.parametrize(
        ("key", "finding", "score"),
        [
            ("likely", "52101004^Present^SCT", "87.3"),
            ("uncertain", "42425007^Equivocal^SCT", "42.0"),
            ("unlikely", "272519000^Absent^SCT", "12.0"),
            ("not analysable", "373068000^Undetermined^SCT", None),
        ],
    )
    def test_the_answer_has_its_code_and_the_score_is_a_number(
        self, key: str, finding: str, score: str | None
    ) -> None:
        study = reading(film(ANSWERS[key]))
        message = told(study)
        assert observation(message, "233604007") == finding
        assert observation(message, "110180") == str(study.films[0].header.StudyInstanceUID)
        assert f"pneumonia {key}" in observation(message, "121111") or "no result" in observation(
            message, "121111"
        )
        scores = [each for each in message.segments("OBX") if str(each[2]) == "NM"]
        assert [(str(each[3]), str(each[5]), str(each[6])) for each in scores] == (
            [] if score is None else [("111012^Certainty of Finding^DCM", score, "%^Percent^UCUM")]
        )

    def test_codes_are_the_receivers_where_it_has_its_own(self) -> None:
        message = told(reading(film(likely())), finding="PNEU^Pneumonia^99RIS", score="P%", likely="Y")
        assert (observation(message, "PNEU"), observation(message, "P%")) == ("Y", "87.3")

    def test_every_message_says_what_it_is_and_of_which_model(self) -> None:
        for outcome in ANSWERS.values():
            notes = [str(each[3]) for each in told(reading(film(outcome))).segments("NTE")]
            assert notes == [
                "AI result, not for primary diagnosis. Not verified by a physician.",
                "Model: pneumonia-cxr 1.2.0+3f2a9c0e3f2a.",
            ]

    def test_earlier_scores_of_the_patient_are_told(self) -> None:
        study = reading(film(likely()))
        prior = PriorAnswer("20250101", 0.12, Answer.UNLIKELY, same_model=True)
        message = told(replace(study, priors=(prior,)))
        assert "12.0% (unlikely) on 2025-01-01" in field_of(message, "NTE", 3, 2)


class TestPatientAndOrder:
    """What the receiver finds the order by."""

    @pytest.mark.parametrize(
        ("key", "names"),
        [
            ("ascii", "Doe^Jane^^^^^L^A"),
            ("latin1", "Müller^Jürgen^^^Dr.^^L^A"),
            ("utf8", "Wang^XiaoDong^^^^^L^A~王^小东^^^^^L^I"),
            ("japanese", "Yamada^Tarou^^^^^L^A~山田^太郎^^^^^L^I~やまだ^たろう^^^^^L^P"),
            ("korean", "Hong^Gildong^^^^^L^A~洪^吉洞^^^^^L^I~홍^길동^^^^^L^P"),
            ("cyrillic", "Иванов^Пётр^Ильич^^^^L^A"),
        ],
    )
    def test_a_name_in_any_character_set_is_read_as_it_was_written(self, key: str, names: str) -> None:
        assert field_of(told(reading(film(likely(), name=NAMES[key]))), "PID", 5) == names

    @pytest.mark.parametrize("case", CASES.values(), ids=CASES)
    def test_no_header_makes_a_message_that_is_not_valid(self, case: Case) -> None:
        header = header_of(FILM)
        case.change(header)
        assert_valid(sent(reading(Film(header, likely()))))

    def test_the_patients_number_has_its_issuer(self) -> None:
        message = told(reading(film(likely())), assigning_authority="ELSEWHERE")
        assert field_of(message, "PID", 3) == "MRN-000123^^^HOSPITAL_A&2.25.7001&ISO"
        assert (field_of(message, "PID", 7), field_of(message, "PID", 8)) == ("19560704", "F")

    @pytest.mark.parametrize(
        ("issuer_of_id", "authority", "expected"),
        [
            ("", "", "MRN-000123"),
            ("", "HOSPITAL", "MRN-000123^^^HOSPITAL"),
            ("", "HOSPITAL^1.2.3^ISO", "MRN-000123^^^HOSPITAL&1.2.3&ISO"),
            ("A", "HOSPITAL", "MRN-000123^^^A"),
            ("A & B", "", r"MRN-000123^^^A \T\ B"),
            # longer than a namespace may be, and as a whole all the same
            ("The Hospital of the City", "", "MRN-000123^^^&The Hospital of the City&L"),
        ],
    )
    def test_where_the_radiograph_names_no_issuer_the_setting_does(
        self, issuer_of_id: str, authority: str, expected: str
    ) -> None:
        made = film(likely(), IssuerOfPatientID=issuer_of_id, without=["IssuerOfPatientIDQualifiersSequence"])
        assert field_of(told(reading(made), assigning_authority=authority), "PID", 3) == expected

    @pytest.mark.parametrize("patient_id", ["", "X" * 65])
    def test_without_a_number_there_is_no_patient_in_the_message(self, patient_id: str) -> None:
        """A number that is cut off would be another patient's."""
        message = told(reading(film(likely(), PatientID=patient_id)))
        assert "\rPID|" not in str(message)
        assert field_of(message, "OBR", 3) == "ACC-77^RIS^2.25.7002^ISO"

    def test_the_order_is_named_as_ihe_radiology_does(self) -> None:
        made = ordered(
            {
                "AccessionNumber": "ACC-1",
                "RequestedProcedureID": "RP1",
                "ScheduledProcedureStepID": "SPS1",
                "PlacerOrderNumberImagingServiceRequest": "PLACER-1",
                "FillerOrderNumberImagingServiceRequest": "FILLER-1",
                "OrderPlacerIdentifierSequence": [issuer("WARD")],
            }
        )
        message = told(reading(made))
        assert [field_of(message, "OBR", place) for place in (2, 3, 18, 19, 20)] == [
            "PLACER-1^WARD^1.2.3^ISO",
            "FILLER-1",
            "ACC-1",
            "RP1",
            "SPS1",
        ]
        assert [field_of(message, "ORC", place) for place in (1, 2, 3)] == [
            "RE",
            "PLACER-1^WARD^1.2.3^ISO",
            "FILLER-1",
        ]

    def test_which_attribute_fills_which_field_is_the_administrators(self) -> None:
        message = told(
            reading(film(likely())),
            placer_order_number=["AccessionNumber"],
            filler_order_number=["ScheduledProcedureStepID"],
            placer_field_1=["PlacerOrderNumberImagingServiceRequest", "StudyID"],
            placer_field_2=[],
        )
        assert [field_of(message, "OBR", place) for place in (2, 3, 18, 19)] == [
            "ACC-77^RIS^2.25.7002^ISO",
            "SPS77",
            "STUDY77",
            "",
        ]

    def test_a_film_for_several_orders_raises_each(self) -> None:
        requests = [{"AccessionNumber": f"ACC-{number}"} for number in range(3)]
        message = told(reading(ordered(*requests)))
        assert [str(each[18]) for each in message.segments("OBR")] == ["ACC-0", "ACC-1", "ACC-2"]
        assert len(message.segments("TQ1")) == 3
        many = sent(reading(ordered(*requests * 40)))
        assert_valid(many)
        assert len(hl7.parse(many).segments("OBR")) == ORDERS_AT_MOST

    def test_what_was_ordered_is_the_orders_code_or_the_settings(self) -> None:
        assert field_of(told(reading(film(likely()))), "OBR", 4) == "36643-5^XR Chest 2 Views^LN"
        bare = film(likely(), without=["ProcedureCodeSequence", "RequestAttributesSequence"])
        assert field_of(told(reading(bare)), "OBR", 4) == "30745-4^XR Chest Views^LN"
        assert field_of(told(reading(bare), procedure="THORAX"), "OBR", 4) == "THORAX"

    @pytest.mark.parametrize(
        ("attributes", "expected"),
        [
            ({}, "20260301101500+0100"),
            ({"AcquisitionTime": "1015"}, "202603011015+0100"),
            ({"AcquisitionTime": "101500.123456"}, "20260301101500+0100"),
            ({"AcquisitionTime": "noon"}, "20260301"),
            ({"AcquisitionTime": "256099"}, "20260301"),
            ({"AcquisitionDate": "20261332"}, "20260301101501+0100"),
            ({"TimezoneOffsetFromUTC": "+9900"}, "20260301101500"),
        ],
    )
    def test_the_time_is_when_the_radiograph_was_taken(
        self, attributes: dict[str, object], expected: str
    ) -> None:
        assert field_of(told(reading(film(likely(), **attributes))), "OBR", 7) == expected


class TestNothingInAHeaderEndsAField:
    """Texts of a header are data, whatever they hold."""

    @given(st.text(max_size=64))
    def test_what_was_escaped_is_read_as_it_was(self, text: str) -> None:
        message = hl7.parse("MSH|^~\\&|\r")
        written = escaped(text)
        assert not set(written) & set("|^&~\r\n\x0b\x1c")
        plain = "".join(each if each.isprintable() else " " for each in text).strip()
        assert (message.unescape(written) or "") == plain

    @pytest.mark.parametrize(
        "text",
        [
            "A|B^C~D&E",
            "A\\F\\B",
            "\\",
            "\\\\",
            "\\H\\bold\\N\\",
            "x\rMSH|^~\\&|EVIL\rPID|2",
            "x\x1c\r\x0bMSH|^~\\&|EVIL",
            "x\ny",
            "\\.br\\\\X0D\\",
        ],
    )
    def test_delimiters_and_line_ends_stay_inside_of_their_field(self, text: str) -> None:
        plain = "".join(each if each.isprintable() else " " for each in text)
        made = film(
            likely(),
            PatientID=text.replace("\\", "/"),
            PatientName=text.replace("\\", "/").replace("^", " ").replace("=", " "),
            **{"AccessionNumber": text.replace("\\", "/"), "without": ["RequestAttributesSequence"]},
        )
        message = told(reading(made))
        expected = plain.replace("\\", "/").strip()
        assert [str(each[0]) for each in message] == [
            "MSH",
            "PID",
            "ORC",
            "OBR",
            "NTE",
            "NTE",
            "TQ1",
            "OBX",
            "OBX",
            "OBX",
            "OBX",
        ]
        assert message.unescape(field_of(message, "PID", 3).split("^")[0]) == expected
        assert message.unescape(field_of(message, "PID", 5).split("^")[0]) == expected.replace("^", " ")
        assert text_of(message, "OBR", 18) == expected

    @settings(max_examples=25, deadline=None)
    @given(st.binary(max_size=80), st.binary(max_size=80))
    def test_no_bytes_in_a_header_break_a_message(self, number: bytes, name: bytes) -> None:
        header = header_of(FILM)
        put(header, "PatientID", number)
        put(header, "PatientName", name)
        put(header, "IssuerOfPatientID", name)
        put(header, "RequestedProcedurePriority", number)
        content = sent(reading(Film(header, likely())))
        assert_valid(content)
        assert content.count(b"\rOBX|") == 4
        assert not set(content) & {0x0B, 0x1C, 0x0A}
