export default function handle({ data }) {
  if (data.never) {
    return {}
  }
  return { events: [data].map(({ n }) => ({ id: data.id, selector: `thing/${n}`, type: 'other', payload: { n, more: 1 } })) }
}
