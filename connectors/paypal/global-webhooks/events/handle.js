// Platforms get events of many merchants; those that name none are "own".
export default function handle({ data }) {
  const type = data?.event_type
  if (typeof type !== 'string') throw new HttpError(400, 'the body is not an event of PayPal')
  const { payee, purchase_units: units, merchant_id: merchant } = data.resource ?? {}
  const scope = payee?.merchant_id ?? units?.[0]?.payee?.merchant_id ?? merchant ?? 'own'
  return { events: [{ id: data.id, type, selector: `${type}/${scope}`, payload: data }] }
}
