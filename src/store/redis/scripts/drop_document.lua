-- Drops a document. Arguments: a token, the kind, the id. Answers with 1 when it was there.

local token, kind, id = argument(), argument(), argument()

return once(token, function()
  return { drop_document(kind, id) and 1 or 0 }
end)
