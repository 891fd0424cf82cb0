// What changed and how are two fields.
export default function handle({ data, headers }) {
  if (typeof data?.type !== 'string') throw new HttpError(400, 'the body is not an event of Linear')
  const type = data.action ? `${data.type}.${data.action}` : data.type
  return { events: [{ id: headers['linear-delivery'], type, selector: `${type}/${data.organizationId ?? '-'}`, payload: data }] }
}
