import { entries, messaging, path } from 'common'

// With Instagram Login the field stands in the entry itself, otherwise in its changes.
export default function handle({ data }) {
  return {
    events: entries(data, 'instagram').flatMap((entry) => [
      ...messaging(entry),
      ...(entry.field ? [entry] : (entry.changes ?? [])).map(({ field, value }) => ({
        id: field.endsWith('comments') ? `${field}:${value.id}` : undefined,
        type: field,
        selector: path(field, entry.id, value.media?.id ?? value.media_id),
        payload: value,
      })),
    ]),
  }
}
