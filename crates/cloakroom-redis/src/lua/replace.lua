-- Replaces a session of which all is known: if it begins with the bytes that it did, with no lease among them, it is the
-- version that was read, and nobody holds it. Whoever asks has applied the rules already.
-- KEYS: the session. ARGV: those bytes, the new value, when it ends as an option of SET and its number.
if redis.call('GETRANGE', KEYS[1], '0', '89') == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[2], ARGV[3], ARGV[4])
  return 1
end
return redis.call('GET', KEYS[1])
