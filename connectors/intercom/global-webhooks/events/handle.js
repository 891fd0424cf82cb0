export default function handle({ data }) {
  const type = data?.topic
  if (typeof type !== 'string') throw new HttpError(400, 'the body is not a notification of Intercom')
  return { events: [{ id: data.id ?? undefined, type, selector: `${type}/${data.app_id ?? '-'}`, payload: data }] }
}
