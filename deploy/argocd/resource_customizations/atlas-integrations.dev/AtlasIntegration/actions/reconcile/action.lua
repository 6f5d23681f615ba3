-- Any new value asks the operator to look at Atlas now; status.lastHandledReconcileAt echoes it when that is done.
local os = require("os")
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["atlas-integrations.dev/reconcile-requested-at"] = os.date("!%Y-%m-%dT%XZ")
return obj
