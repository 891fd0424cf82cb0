import { createHash } from 'crypto'

// Zoom gives events no id; what it sends again has the same bytes, the time of
// the event among them.
export default function handle({ data, rawBytes }) {
  if (typeof data?.event !== 'string') throw new HttpError(400, 'the body is not an event of Zoom')
  const scope = [data.payload?.account_id, data.payload?.object?.id].filter((part) => part !== undefined && part !== '')
  return {
    events: [
      {
        id: createHash('sha256').update(rawBytes).digest('hex'),
        type: data.event,
        selector: [data.event, ...scope].join('/'),
        payload: data,
      },
    ],
  }
}
