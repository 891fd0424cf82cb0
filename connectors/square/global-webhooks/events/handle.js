export default function handle({ data }) {
  const type = data?.type
  if (typeof type !== 'string') throw new HttpError(400, 'the body is not an event of Square')
  return { events: [{ id: data.event_id, type, selector: `${type}/${data.merchant_id ?? '-'}`, payload: data }] }
}
