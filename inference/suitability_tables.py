"""What headers call chests, views and other body parts: the tables behind `inference.suitability`.

Codes are those of PS3.16 CID 4009 and 4031 (anatomy) and CID 4010 (DX View), in SNOMED CT and in the SNOMED RT
that older devices send. Words are in capitals, in the languages that modalities' protocols are written in.
"""

from typing import Final

MODALITIES: Final = frozenset({"CR", "DX"})

SNOMED: Final = frozenset({"SCT", "SRT", "SNM3", "99SDM"})

FRONTAL_WORDS: Final = frozenset({"AP", "PA", "FRONTAL", "FRONTALE", "POSTEROANTERIOR", "ANTEROPOSTERIOR"})

LATERAL_WORDS: Final = frozenset(
    {"LL", "RL", "LAT", "LLAT", "RLAT", "LATERAL", "LATERALE", "LATERALL", "SEITLICH", "PROFIL", "PERFIL"}
)

# Decubitus and oblique views by their defined terms (PS3.3 C.8.7.1.1.1) and in words.
UNSUPPORTED_WORDS: Final = frozenset(
    {
        "RLD",
        "LLD",
        "RLO",
        "LLO",
        "RAO",
        "LAO",
        "RPO",
        "LPO",
        "OBL",
        "OBLIQUE",
        "DECUB",
        "DECUBITUS",
        "AXIAL",
        "TANGENTIAL",
        "LORDOTIC",
    }
)

LATERAL_VIEW_CODES: Final = frozenset(
    {
        "399067008",  # SCT lateral projection
        "R-102CD",
        "399173006",  # SCT left lateral
        "R-10236",
        "399198007",  # SCT right lateral
        "R-10232",
        "399352003",  # SCT latero-medial
        "R-10228",
        "399260004",  # SCT medio-lateral
        "R-10224",
        "30730003",  # SCT sagittal
        "G-A145",
    }
)

UNSUPPORTED_VIEW_CODES: Final = frozenset(
    {
        "399182000",  # SCT oblique projection
        "399135007",  # SCT left anterior oblique
        "399356000",  # SCT right anterior oblique
        "399006002",  # SCT left posterior oblique
        "399038007",  # SCT right posterior oblique
        "399184004",  # SCT left oblique
        "399236003",  # SCT right oblique
        "399312000",  # SCT antero-posterior oblique
        "399059000",  # SCT postero-anterior oblique
        "399061009",  # SCT axial projection
        "399110001",  # SCT tangential
    }
)

CHEST_CODES: Final = frozenset(
    {
        "816094009",  # SCT chest
        "51185008",  # SCT thoracic structure
        "T-D3000",
        "43799004",  # SCT thoracic cavity
        "T-D3200",
        "302551006",  # SCT entire thorax
        "39607008",  # SCT lung
        "T-28000",
        "3341006",  # SCT right lung
        "44029006",  # SCT left lung
    }
)

# The beginning of a word is enough: THORAXAUFNAHME, LUNGS, PULMONARY.
CHEST_STEMS: Final = (
    "CHEST",
    "THORAX",
    "LUNG",
    "TORAX",
    "TÓRAX",
    "TORACE",
    "POUMON",
    "PULMO",
    "ГРУД",
    "胸",
    "흉부",
)

# Chests are named by these as a part of something else, and are then not what the picture is of. Ribs too: they are
# exposed for bone, and the lungs are black.
_OTHER_WORDS: Final = """
    ABDOMEN KUB PELVIS HIP HIPS KNEE KNEES PATELLA LEG FEMUR THIGH TIBIA FIBULA ANKLE FOOT FEET TOE TOES HEEL CALCANEUS
    HAND HANDS WRIST FINGER FINGERS THUMB FOREARM ELBOW HUMERUS ARM SHOULDER CLAVICLE SCAPULA EXTREMITY LIMB RIB RIBS
    STERNUM SPINE CSPINE TSPINE LSPINE SSPINE SACRUM COCCYX NECK SKULL HEAD SINUS SINUSES MANDIBLE JAW TEETH BREAST
    BECKEN HÜFTE HUEFTE KNIE UNTERSCHENKEL SPRUNGGELENK FUSS FUß HANDGELENK ELLENBOGEN ELLBOGEN SCHULTER SCHÄDEL
    SCHAEDEL HWS BWS LWS WIRBELSÄULE WIRBELSAEULE RIPPEN
    BASSIN HANCHE GENOU CHEVILLE PIED POIGNET COUDE EPAULE ÉPAULE CRANE CRÂNE RACHIS
    CADERA RODILLA TOBILLO MANO MUÑECA CODO HOMBRO CRANEO CRÁNEO COLUMNA
    BACINO ANCA GINOCCHIO CAVIGLIA PIEDE POLSO GOMITO SPALLA CRANIO RACHIDE COLONNA ADDOME
    ABDOME QUADRIL JOELHO TORNOZELO PUNHO COTOVELO OMBRO COLUNA
"""
OTHER_WORDS: Final = frozenset(_OTHER_WORDS.split())

OTHER_STEMS: Final = ("ABDOM", "EXTREMIT", "LUMB", "CERVICAL", "PELVI")

# Devices fill the attribute with these where nobody chose a body part.
NO_BODY_PART: Final = frozenset(
    {"UNKNOWN", "OTHER", "OTHERS", "NONE", "NA", "UNDEFINED", "DEFAULT", "MISC", "BODY"}
)
