-- Conditions are present once the operator has looked at the object (status.observedGeneration); Stalled and Suspended
-- only while they are true. Argo CD has no string library for scripts of a ConfigMap.
local status = obj.status or {}
if status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "the operator has not looked at this generation yet"}
end

local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end
local function holds(name)
  return conditions[name] ~= nil and conditions[name].status == "True"
end

local message = ""
if conditions.Ready ~= nil then
  message = conditions.Ready.message
end
if holds("Stalled") then
  return {status = "Degraded", message = message}
end
if holds("Suspended") then
  return {status = "Suspended", message = conditions.Suspended.message}
end
if holds("Ready") then
  -- A difference in Atlas is repaired, or with managementPolicy: Observe only shown, by Ready too: it is no failure.
  if conditions.Ready.reason == "Synced" and conditions.InSync ~= nil and not holds("InSync") then
    message = message .. "; " .. conditions.InSync.message
  end
  return {status = "Healthy", message = message}
end
return {status = "Progressing", message = message}
