// Topic and shop are in headers; the body is the resource alone.
export default function handle({ data, headers }) {
  const type = headers['x-shopify-topic']
  if (!type) throw new HttpError(400, 'the header X-Shopify-Topic is missing')
  if (!data || typeof data !== 'object') throw new HttpError(400, 'the body is not a JSON object')
  const shop = headers['x-shopify-shop-domain'] ?? '-'
  return { events: [{ id: headers['x-shopify-webhook-id'], type, selector: `${type}/${shop}`, payload: data }] }
}
