"""The attributes that a result shares with the radiograph that it was made from, by module of PS3.3."""

PATIENT = (  # C.7.1.1
    "ReferencedPatientSequence PatientName PatientID IssuerOfPatientID TypeOfPatientID"
    " IssuerOfPatientIDQualifiersSequence SourcePatientGroupIdentificationSequence"
    " GroupOfPatientsIdentificationSequence PatientBirthDate PatientBirthTime PatientBirthDateInAlternativeCalendar"
    " PatientDeathDateInAlternativeCalendar PatientAlternativeCalendar PatientSex QualityControlSubject"
    " StrainDescription StrainNomenclature StrainStockSequence StrainAdditionalInformation StrainCodeSequence"
    " GeneticModificationsSequence OtherPatientNames OtherPatientIDs OtherPatientIDsSequence"
    " ReferencedPatientPhotoSequence EthnicGroup EthnicGroupCodeSequence PatientSpeciesDescription"
    " PatientSpeciesCodeSequence PatientBreedDescription PatientBreedCodeSequence BreedRegistrationSequence"
    " ResponsiblePerson ResponsiblePersonRole ResponsibleOrganization PatientComments PatientIdentityRemoved"
    " DeidentificationMethod DeidentificationMethodCodeSequence"
).split()

CLINICAL_TRIAL_SUBJECT = (  # C.7.1.3
    "ClinicalTrialSponsorName ClinicalTrialProtocolID ClinicalTrialProtocolName IssuerOfClinicalTrialProtocolID"
    " OtherClinicalTrialProtocolIDsSequence ClinicalTrialSiteID ClinicalTrialSiteName IssuerOfClinicalTrialSiteID"
    " ClinicalTrialSubjectID IssuerOfClinicalTrialSubjectID ClinicalTrialSubjectReadingID"
    " IssuerOfClinicalTrialSubjectReadingID ClinicalTrialProtocolEthicsCommitteeName"
    " ClinicalTrialProtocolEthicsCommitteeApprovalNumber"
).split()

GENERAL_STUDY = (  # C.7.2.1
    "StudyDate StudyTime AccessionNumber IssuerOfAccessionNumberSequence ReferringPhysicianName"
    " ReferringPhysicianIdentificationSequence ConsultingPhysicianName ConsultingPhysicianIdentificationSequence"
    " StudyDescription ProcedureCodeSequence PhysiciansOfRecord PhysiciansOfRecordIdentificationSequence"
    " NameOfPhysiciansReadingStudy PhysiciansReadingStudyIdentificationSequence ReferencedStudySequence"
    " StudyInstanceUID StudyID RequestingService RequestingServiceCodeSequence"
    " ReasonForPerformedProcedureCodeSequence"
).split()

PATIENT_STUDY = (  # C.7.2.2
    "AdmittingDiagnosesDescription AdmittingDiagnosesCodeSequence PatientAge PatientSize PatientSizeCodeSequence"
    " PatientBodyMassIndex MeasuredAPDimension MeasuredLateralDimension PatientWeight MedicalAlerts Allergies"
    " Occupation SmokingStatus AdditionalPatientHistory PregnancyStatus LastMenstrualDate PatientSexNeutered"
    " ReasonForVisit ReasonForVisitCodeSequence AdmissionID IssuerOfAdmissionIDSequence ServiceEpisodeID"
    " ServiceEpisodeDescription IssuerOfServiceEpisodeIDSequence PatientState"
).split()

CLINICAL_TRIAL_STUDY = (  # C.7.2.3
    "ClinicalTrialTimePointID ClinicalTrialTimePointDescription LongitudinalTemporalOffsetFromEvent"
    " LongitudinalTemporalEventType ClinicalTrialTimePointTypeCodeSequence IssuerOfClinicalTrialTimePointID"
    " ConsentForClinicalTrialUseSequence"
).split()

PATIENT_AND_STUDY = (
    *PATIENT,
    *CLINICAL_TRIAL_SUBJECT,
    *GENERAL_STUDY,
    *PATIENT_STUDY,
    *CLINICAL_TRIAL_STUDY,
)

EMPTY_WHERE_UNKNOWN = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyID",
)
"""Type 2 of those modules: present in every object, without a value where nobody knows one."""
