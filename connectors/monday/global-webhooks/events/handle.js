export default function handle({ data }) {
  const event = data?.event
  if (typeof event?.type !== 'string') throw new HttpError(400, 'the body is not an event of monday.com')
  return { events: [{ id: event.triggerUuid, type: event.type, selector: `${event.type}/${event.boardId ?? '-'}`, payload: data }] }
}
