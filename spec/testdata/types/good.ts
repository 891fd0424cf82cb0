import { createHmac, timingSafeEqual } from 'node:crypto'
import nodeCrypto from 'crypto'
import { Buffer as NodeBuffer } from 'buffer'

type Order = { type: string; shop: number; lines?: { sku: string }[] }

export default (({ data, headers, parameters, rawBody, rawBytes, query, method, url, receivedAt }) => {
  const expected = createHmac('sha256', parameters.secret).update(rawBytes).digest()
  const given = Buffer.from(headers['x-signature'] ?? '', 'hex')
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) throw new HttpError(401, 'bad signature')
  if (method === 'GET') return { response: { status: 200, headers: { 'Content-Type': 'text/plain' }, data: query.challenge } }
  console.log(rawBody.length, new URL(url).searchParams.get('x'), nodeCrypto.randomUUID(), NodeBuffer.alloc(2).toString('base64'))
  return {
    events: [{ selector: `order.${data.type}/${data.shop}`, payload: data, id: headers['x-delivery'], type: 'order' }],
    response: { status: 202, data: { receivedAt } },
  }
}) satisfies Switchhook.Handle<{ secret: string }, Order>

export const asyncHandle: Switchhook.Handle = async ({ data }) => {
  if (!data) return
  return { events: [{ selector: 'a', payload: structuredClone(data) }] }
}

export const handshake: Switchhook.Handshake = ({ headers, state }) => ({
  response: { headers: { 'X-Hook-Secret': headers['x-hook-secret'] ?? '' } },
  remember: { hookSecret: state.hookSecret ?? headers['x-hook-secret'] ?? '' },
})

export const getEventSelector: Switchhook.GetEventSelector<{ repository: string }> = ({ parameters }) => ({
  globalWebhookKey: 'events',
  globalWebhookEventSelector: `push/${parameters.repository}`,
})

export function verify(key: string, signature: string, body: string): boolean {
  const bytes = new TextEncoder().encode(body)
  return crypto.verify(null, bytes, { key: Buffer.from(key, 'base64'), format: 'der', type: 'spki' }, Buffer.from(signature, 'hex'))
    || crypto.createVerify('RSA-SHA256').update(body).verify(key, signature, 'base64')
}

export function open(key: Uint8Array, iv: Uint8Array, tag: Uint8Array, text: string, pem: string): string {
  const decipher = crypto.createDecipheriv('aes-256-gcm', key, iv).setAuthTag(tag)
  const certificate = new crypto.X509Certificate(pem)
  if (!certificate.checkHost('example.com') || certificate.publicKey.type !== 'public') throw new HttpError(400, 'wrong certificate')
  const bytes = Buffer.concat([decipher.update(text, 'base64'), decipher.final()])
  return `${bytes.readUInt32BE(0)} ${bytes.indexOf('x')} ${bytes.subarray(1).toString('hex')}`
}
