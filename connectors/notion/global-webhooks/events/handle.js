// An event names the workspace and the page, database, data source or comment.
export default function handle({ data }) {
  const type = data?.type
  if (typeof type !== 'string') throw new HttpError(400, 'the body is not an event of Notion')
  const scope = `${data.workspace_id ?? '-'}/${data.entity?.id ?? '-'}`
  return { events: [{ id: data.id, type, selector: `${type}/${scope}`, payload: data }] }
}
