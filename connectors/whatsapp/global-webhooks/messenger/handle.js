import { entries, messaging, path } from 'common'

export default function handle({ data }) {
  return {
    events: entries(data, 'page').flatMap((entry) => [
      ...messaging(entry),
      ...(entry.changes ?? []).map(({ field, value }) => ({ type: field, selector: path(field, entry.id), payload: value })),
    ]),
  }
}
