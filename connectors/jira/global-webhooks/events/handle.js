// Comments and links name only their issue, whose key begins with the project's.
export default function handle({ data, headers }) {
  const type = data?.webhookEvent
  if (typeof type !== 'string') throw new HttpError(400, 'the body is not an event of Jira')
  const project =
    data.issue?.fields?.project?.key ?? data.project?.key ?? data.issue?.key?.replace(/-\d+$/, '') ?? data.version?.projectId ?? '-'
  return {
    events: [{ id: headers['x-atlassian-webhook-identifier'], type, selector: `${type}/${project}`, payload: data }],
  }
}
