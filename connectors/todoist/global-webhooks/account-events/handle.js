import { selectorOf } from 'common'

export default async function handle({ data, headers }) {
  if (!data?.user_id) throw new HttpError(400, 'the body names no user')
  return {
    events: [
      {
        id: headers['x-todoist-delivery-id'],
        type: data.event_name,
        selector: selectorOf(data.user_id),
        payload: data,
      },
    ],
  }
}
