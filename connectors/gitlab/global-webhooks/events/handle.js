// Webhooks name what happened in object_kind, system hooks in event_name.
export default function handle({ data, headers }) {
  const type = data?.object_kind ?? data?.event_name
  if (typeof type !== 'string') throw new HttpError(400, 'the body is not an event of GitLab')
  const scope = data.project?.path_with_namespace ?? data.path_with_namespace ?? data.group_path ?? data.group?.full_path ?? data.full_path ?? '-'
  const id = headers['idempotency-key'] ?? headers['webhook-id']
  return { events: [{ id, type, selector: `${type}/${scope}`, payload: data }] }
}
