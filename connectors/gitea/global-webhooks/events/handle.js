// The header names the event; the body its repository or organization.
export default function handle({ data, headers }) {
  const type = headers['x-gitea-event']
  if (!type) throw new HttpError(400, 'the header X-Gitea-Event is missing')
  if (!data || typeof data !== 'object') throw new HttpError(400, 'the body is not a JSON object')
  const scope = data.repository?.full_name ?? data.organization?.username ?? '-'
  return { events: [{ id: headers['x-gitea-delivery'], type, selector: `${type}/${scope}`, payload: data }] }
}
