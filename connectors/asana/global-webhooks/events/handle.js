// One request brings many events, or none to show that the webhook lives. They
// have no id: the same change at the same time is the same event.
export default function handle({ data }) {
  if (!Array.isArray(data?.events)) throw new HttpError(400, 'the body has no events')
  return {
    events: data.events.map((event, i) => {
      const { action, resource, parent, change } = event ?? {}
      if (!action || !resource?.resource_type) throw new HttpError(400, `event ${i} of the body has no action or resource`)
      const type = `${resource.resource_type}.${action}`
      const value = change?.new_value ?? change?.added_value ?? change?.removed_value
      const id = [event.created_at, type, resource.gid, parent?.gid, change?.field, change?.action, value?.gid].filter(Boolean).join(' ')
      return { id, type, selector: `${type}/${resource.gid ?? '-'}`, payload: event }
    }),
  }
}
