// Customers are their own scope; addresses, products and prices have none.
export default function handle({ data }) {
  const type = data?.event_type
  if (typeof type !== 'string') throw new HttpError(400, 'the body is not an event of Paddle')
  const customer = data.data?.customer_id ?? (type.startsWith('customer.') ? data.data?.id : undefined) ?? '-'
  return { events: [{ id: data.event_id, type, selector: `${type}/${customer}`, payload: data }] }
}
