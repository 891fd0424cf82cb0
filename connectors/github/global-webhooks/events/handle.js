// An event of GitHub is named by a header, and belongs to a repository, an
// organization or an app's installation.
export default function handle({ data, headers }) {
  const type = headers['x-github-event']
  if (!type) throw new HttpError(400, 'the header X-GitHub-Event is missing')
  // With the content type application/x-www-form-urlencoded the JSON is in a field.
  const payload = typeof data?.payload === 'string' ? JSON.parse(data.payload) : data
  if (!payload || typeof payload !== 'object') throw new HttpError(400, 'the body is not a JSON object')
  const scope =
    payload.repository?.full_name ?? payload.organization?.login ?? payload.installation?.account?.login ?? payload.sender?.login ?? '-'
  return {
    events: [{ id: headers['x-github-delivery'], type, selector: `${type}/${scope}`, payload }],
  }
}
