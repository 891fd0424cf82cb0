// Version 2 calls what it is about an entity, version 1 an object; there the
// id is that of the object, and nothing names the notification.
export default function handle({ data }) {
  const meta = data?.meta
  const object = meta?.entity ?? meta?.object
  if (!object || !meta.action) throw new HttpError(400, 'the body is not a notification of Pipedrive')
  const type = `${object}.${meta.action}`
  const id = meta.entity ? meta.id : undefined
  return { events: [{ id, type, selector: `${type}/${meta.company_id ?? '-'}`, payload: data }] }
}
