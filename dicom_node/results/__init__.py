"""What the node sends back: report, heatmap, key objects and presentation state, made of what was found in a study.

`build_results` makes the objects, `encode` their bytes, `as_comprehensive_sr` the report for peers that refuse its
class. Nothing here opens a file, a socket or a database; equal input gives equal bytes, so that a result may be built
and sent twice and is one object.
"""

from dicom_node.results.build import build_results
from dicom_node.results.encoding import encode
from dicom_node.results.structured_report import as_comprehensive_sr

__all__ = ["as_comprehensive_sr", "build_results", "encode"]
