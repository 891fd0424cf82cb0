import { createHmac } from 'crypto'

// Answers with the HMAC of the token, made with the secret that signed the
// request: there may be several.
export default function handshake({ data, headers, parameters, rawBytes }) {
  const plainToken = data.payload?.plainToken
  if (typeof plainToken !== 'string' || !/^[\w+/=-]{1,256}$/.test(plainToken)) {
    throw new HttpError(400, 'the validation has no plainToken that could be answered')
  }
  const hmac = (secret, ...parts) => parts.reduce((h, part) => h.update(part), createHmac('sha256', secret)).digest('hex')
  const signed = [`v0:${headers['x-zm-request-timestamp']}:`, rawBytes]
  const secret = [].concat(parameters.secret ?? [], parameters.secrets ?? []).find((one) => headers['x-zm-signature'].toLowerCase() === `v0=${hmac(one, ...signed)}`)
  return { response: { data: { plainToken, encryptedToken: hmac(secret, plainToken) } } }
}
