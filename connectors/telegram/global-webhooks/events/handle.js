// An update has its number and one more field, whose name is the type.
export default function handle({ data }) {
  const type = data && typeof data === 'object' ? Object.keys(data).find((key) => key !== 'update_id') : undefined
  if (!type || data.update_id === undefined) throw new HttpError(400, 'the body is not an update of Telegram')
  const update = data[type]
  const scope = update?.chat?.id ?? update?.message?.chat?.id ?? update?.from?.id ?? update?.user?.id ?? '-'
  return { events: [{ id: String(data.update_id), type, selector: `${type}/${scope}`, payload: data }] }
}
