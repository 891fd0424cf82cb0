// Deliveries have no id: the same thing at the same time is the same event.
export default function handle({ data }) {
  const type = data?.event
  if (typeof type !== 'string') throw new HttpError(400, 'the body is not a Connect message in JSON (SIM)')
  const subject = data.data ?? {}
  const id = data.generatedDateTime
    ? [type, subject.envelopeId, subject.recipientId, data.generatedDateTime].filter(Boolean).join(' ')
    : undefined
  return { events: [{ id, type, selector: `${type}/${subject.accountId ?? '-'}`, payload: data }] }
}
