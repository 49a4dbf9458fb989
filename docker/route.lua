-- Sends every new radiograph of this archive to the AI node, and nothing else.
--
-- The node's answers come back to this archive and must never start a second round. Two things keep them out:
-- who sent them (the node's AE title) and what they are (reports and heatmaps are no CR or DX objects, also when
-- somebody uploads them again).
--
-- A radiograph that is stored here again is sent again: the node takes it and does not analyse it twice.

local NODE = "cxr-node"  -- its name under DicomModalities in orthanc.json
local NODE_AE_TITLE = "CXR_NODE"

local RADIOGRAPHS = {
   ["1.2.840.10008.5.1.4.1.1.1"] = true,      -- Computed Radiography Image
   ["1.2.840.10008.5.1.4.1.1.1.1"] = true,    -- Digital X-Ray Image, for presentation
   ["1.2.840.10008.5.1.4.1.1.1.1.1"] = true,  -- Digital X-Ray Image, for processing
   -- Where a film converter stores radiographs as Secondary Capture, add "1.2.840.10008.5.1.4.1.1.7" here and set
   -- analyse_secondary_capture in the node's settings.
}

function OnStoredInstance(instance, tags, metadata, origin)
   if origin["RemoteAet"] ~= NODE_AE_TITLE and RADIOGRAPHS[tags["SOPClassUID"]] then
      -- As a job of Orthanc's own: it is kept over a restart, and storing does not wait for it.
      RestApiPost("/modalities/" .. NODE .. "/store", DumpJson({
         Resources = { instance },
         Synchronous = false,
      }))
   end
end

-- Orthanc gives a job up at its first failure. A node that was down gets its radiographs here: this runs every
-- LuaHeartBeatPeriod seconds.
function OnHeartBeat()
   for _, job in ipairs(ParseJson(RestApiGet("/jobs?expand"))) do
      if job["State"] == "Failure" and job["Type"] == "DicomModalityStore"
            and job["Content"]["RemoteAet"] == NODE_AE_TITLE then
         RestApiPost("/jobs/" .. job["ID"] .. "/resubmit", "")
      end
   end
end
