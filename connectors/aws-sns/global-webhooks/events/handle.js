// SNS sends JSON as text/plain.
export default function handle({ data }) {
  const message = read(data)
  // arn:aws:sns:region:account:topic
  const [, , , region, account, topic] = message.TopicArn.split(':')
  const type = message.Type === 'UnsubscribeConfirmation' ? 'unsubscribed' : 'notification'
  return {
    events: [{ id: message.MessageId, type, selector: [type, account, region, topic].join('/'), payload: message }],
  }
}

function read(data) {
  const message = typeof data === 'string' ? JSON.parse(data) : data
  if (!['Notification', 'UnsubscribeConfirmation'].includes(message.Type)) {
    throw new HttpError(400, 'the body is not a message of SNS')
  }
  return message
}
