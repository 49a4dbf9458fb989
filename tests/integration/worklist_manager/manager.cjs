// A worklist's manager of another make: dcmjs-dimse (npm), which shares no line with the node's DICOM library.
//
//   node manager.cjs PATH_OF_DCMJS_DIMSE PORT FOLDER
//
// Takes Unified Procedure Steps by N-CREATE and writes the attributes of each, decoded, to FOLDER/UID.json.
const fs = require("fs");
const path = require("path");
const [library, port, folder] = process.argv.slice(2);
const { Server, Scp, constants, responses } = require(library);
const { PresentationContextResult, Status, TransferSyntax } = constants;

const UPS_PUSH = "1.2.840.10008.5.1.4.34.6.1";
const DUPLICATE_SOP_INSTANCE = 0x0111;

class Manager extends Scp {
  associationRequested(association) {
    for (const { id } of association.getPresentationContexts()) {
      const context = association.getPresentationContext(id);
      const offered = context.getTransferSyntaxUids();
      if (context.getAbstractSyntaxUid() !== UPS_PUSH)
        context.setResult(PresentationContextResult.RejectAbstractSyntaxNotSupported);
      else if (offered.includes(TransferSyntax.ExplicitVRLittleEndian))
        context.setResult(PresentationContextResult.Accept, TransferSyntax.ExplicitVRLittleEndian);
      else context.setResult(PresentationContextResult.RejectTransferSyntaxesNotSupported);
    }
    this.sendAssociationAccept();
  }

  nCreateRequest(request, callback) {
    const file = path.join(folder, `${request.getAffectedSopInstanceUid()}.json`);
    const response = responses.NCreateResponse.fromRequest(request);
    if (fs.existsSync(file)) response.setStatus(DUPLICATE_SOP_INSTANCE);
    else {
      fs.writeFileSync(`${file}.part`, JSON.stringify(request.getDataset().getElements()));
      fs.renameSync(`${file}.part`, file);
      response.setStatus(Status.Success);
    }
    callback(response);
  }

  associationReleaseRequested() {
    this.sendAssociationReleaseResponse();
  }
}

new Server(Manager).listen(Number(port));
