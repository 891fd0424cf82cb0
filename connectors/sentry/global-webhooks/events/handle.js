// The header names the resource, the body what happened to it.
export default function handle({ data, headers }) {
  const resource = headers['sentry-hook-resource']
  if (!resource) throw new HttpError(400, 'the header Sentry-Hook-Resource is missing')
  if (!data || typeof data !== 'object') throw new HttpError(400, 'the body is not a JSON object')
  const type = data.action ? `${resource}.${data.action}` : resource
  const subject = data.data?.issue ?? data.data?.error ?? data.data?.event ?? data.data?.metric_alert ?? data.data
  const project = subject?.project?.slug ?? subject?.project_slug ?? subject?.projects?.[0] ?? subject?.project ?? '-'
  return { events: [{ id: headers['request-id'], type, selector: `${type}/${project}`, payload: data }] }
}
