import { constants, createDecipheriv, createHmac, privateDecrypt, timingSafeEqual } from 'crypto'

// decrypt returns the resource, as
// https://learn.microsoft.com/graph/change-notifications-with-resource-data#decrypting-resource-data says.
// That none of the keys fits is an error, and no HttpError: the request is kept, to be
// run again with the right key.
export function decrypt({ data, dataKey, dataSignature }, privateKeys) {
  const bytes = Buffer.from(data, 'base64')
  const key = symmetricKey(Buffer.from(dataKey, 'base64'), privateKeys)
  const signature = Buffer.from(dataSignature, 'base64')
  const expected = createHmac('sha256', key).update(bytes).digest()
  if (signature.length !== expected.length || !timingSafeEqual(signature, expected)) {
    throw new HttpError(400, 'the signature of the resource data does not match')
  }
  const decipher = createDecipheriv('aes-256-cbc', key, key.subarray(0, 16))
  return JSON.parse(decipher.update(bytes, undefined, 'utf8') + decipher.final('utf8'))
}

function symmetricKey(encrypted, privateKeys) {
  for (const key of privateKeys) {
    try {
      return privateDecrypt({ key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha1' }, encrypted)
    } catch {
      continue // the next one may fit
    }
  }
  throw new Error('the resource data is encrypted for a certificate whose private key is not among the parameters')
}
