import { selectorOf } from 'common'

export default async function handle({ data, headers }) {
  if (headers['x-parcelbay-topic'] === 'ping') return {}
  const parcels = Array.isArray(data) ? data : [data]
  return {
    events: parcels.map((parcel) => ({ selector: selectorOf(parcel), payload: parcel })),
    response: { status: 202 },
  }
}
