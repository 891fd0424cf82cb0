// Topic and shop are in headers; the body is the resource alone.
export default function handle({ data, headers }) {
  const type = headers['x-wc-webhook-topic']
  if (!type) throw new HttpError(400, 'the header X-WC-Webhook-Topic is missing')
  if (!data || typeof data !== 'object') throw new HttpError(400, 'the body is not a JSON object')
  const shop = (headers['x-wc-webhook-source'] ?? '').replace(/^https?:\/\//, '').replace(/\/+$/, '') || '-'
  return { events: [{ id: headers['x-wc-webhook-delivery-id'], type, selector: `${type}/${shop}`, payload: data }] }
}
