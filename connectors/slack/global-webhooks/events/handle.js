// Slack sends events as JSON, slash commands as forms, and interactions as
// JSON in the field "payload" of a form.
export default function handle({ data }) {
  if (!data || typeof data !== 'object') throw new HttpError(400, 'the body is neither JSON nor a form')
  if (typeof data.payload === 'string') return one(JSON.parse(data.payload), 'interaction')
  if (data.command) return one(data, 'command')
  if (data.type === 'event_callback') {
    const event = data.event
    const channel = event.channel?.id ?? event.channel ?? event.item?.channel
    return {
      events: [{ id: data.event_id, type: event.type, selector: path(event.type, data.team_id, channel), payload: data }],
    }
  }
  return one(data, data.type ?? 'unknown')
}

function one(payload, kind) {
  const type = kind === 'interaction' ? payload.type : kind
  const team = payload.team?.id ?? payload.team_id ?? payload.enterprise?.id
  const channel = payload.channel?.id ?? payload.channel_id
  return { events: [{ id: payload.trigger_id, type, selector: path(type, team, channel), payload }] }
}

function path(...parts) {
  return parts.filter(Boolean).join('/')
}
