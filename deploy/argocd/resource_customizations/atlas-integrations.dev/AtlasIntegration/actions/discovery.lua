local suspended = obj.spec.suspend == true
return {
  -- No call is made to Atlas while the object is suspended.
  reconcile = {disabled = suspended},
  suspend = {disabled = suspended},
  resume = {disabled = not suspended},
}
