// Every kind of resource names its project in a place of its own; where none
// does, the container's id remains.
export default function handle({ data }) {
  const type = data?.eventType
  if (typeof type !== 'string') throw new HttpError(400, 'the body is not an event of Azure DevOps')
  const { resource } = data
  const project =
    resource?.repository?.project?.name ??
    resource?.project?.name ??
    resource?.fields?.['System.TeamProject'] ??
    resource?.revision?.fields?.['System.TeamProject'] ??
    data.resourceContainers?.project?.id ??
    '-'
  return { events: [{ id: data.id, type, selector: `${type}/${project}`, payload: data }] }
}
