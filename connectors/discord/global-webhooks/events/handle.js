// Interactions want an answer within three seconds: it is deferred, and the
// destination finishes it through the interaction's token.
const interactions = {
  2: { type: 'command', answer: { type: 5 } },
  3: { type: 'component', answer: { type: 6 } },
  4: { type: 'autocomplete', answer: { type: 8, data: { choices: [] } } },
  5: { type: 'modal', answer: { type: 5 } },
}

export default function handle({ data }) {
  if (data?.event) {
    const { type } = data.event
    return {
      events: [{ type, selector: `${type}/${data.application_id ?? '-'}`, payload: data }],
      response: { status: 204 },
    }
  }
  const interaction = interactions[data?.type]
  if (!interaction) throw new HttpError(400, 'the body is neither an interaction nor an event of Discord')
  const { type, answer } = interaction
  const place = [data.guild_id, data.channel_id ?? data.channel?.id].filter(Boolean).join('/') || '-'
  return {
    events: [{ id: data.id, type, selector: `${type}/${place}`, payload: data }],
    response: { status: 200, data: answer },
  }
}
