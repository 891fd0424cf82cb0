// Messages and calls come as forms, and are answered with TwiML that does
// nothing; event streams send lists of CloudEvents.
export default function handle({ data, headers }) {
  if (!data || typeof data !== 'object') throw new HttpError(400, 'the body is neither JSON nor a form')
  if (Array.isArray(data)) {
    return { events: data.map((event) => one(event.id, event.type ?? 'event', event.data?.accountSid, event)) }
  }
  const status = data.MessageStatus ?? data.SmsStatus ?? data.CallStatus
  const kind = data.CallSid ? 'call' : data.MessageSid || data.SmsSid ? 'message' : 'event'
  const type = status ? `${kind}.${status}` : kind
  return {
    events: [one(headers['i-twilio-idempotency-token'], type, data.AccountSid, data)],
    response: { status: 200, headers: { 'Content-Type': 'text/xml' }, data: '<Response/>' },
  }
}

function one(id, type, account, payload) {
  return { id, type, selector: `${type}/${account ?? '-'}`, payload }
}
