// What triggers and automations send is made up by the administrator, and
// named by nothing.
export default function handle({ data, headers }) {
  if (!data || typeof data !== 'object') throw new HttpError(400, 'the body is not a JSON object')
  const known = typeof data.type === 'string' && data.type.startsWith('zen:event-type:')
  const type = known ? data.type.slice('zen:event-type:'.length) : 'trigger'
  const account = (known ? data.account_id : undefined) ?? headers['x-zendesk-account-id'] ?? '-'
  const id = known ? data.id : headers['x-zendesk-webhook-invocation-id']
  return { events: [{ id, type, selector: `${type}/${account}`, payload: data }] }
}
