// Events of connected accounts name the account; others belong to the
// platform's own.
export default function handle({ data }) {
  if (typeof data?.type !== 'string') throw new HttpError(400, 'the body is not an event of Stripe')
  return {
    events: [{ id: data.id, type: data.type, selector: `${data.type}/${data.account ?? data.context ?? 'own'}`, payload: data }],
  }
}
