// The item that the event is about is the source; a comment's is on an item.
export default function handle({ data }) {
  const type = data?.trigger
  if (typeof type !== 'string') throw new HttpError(400, 'the body is not an event of Box')
  const { source } = data
  const folder = source?.parent?.id ?? source?.item?.parent?.id ?? '-'
  return { events: [{ id: data.id, type, selector: `${type}/${folder}/${source?.id ?? '-'}`, payload: data }] }
}
