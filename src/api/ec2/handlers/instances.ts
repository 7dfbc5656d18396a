import type {
  Instance,
  InstanceStateChange,
  InstanceStatus,
  Reservation,
  RunInstancesRequest,
} from '@aws-sdk/client-ec2'
import type { Cloud } from '../../../cloud/cloud.ts'
import type { InstanceView } from '../../../cloud/instances/instance-views.ts'
import type { StateChange } from '../../../cloud/instances/instances.ts'
import type { LaunchRequest } from '../../../cloud/instances/launch.ts'
import { KilnError } from '../../../lib/errors.ts'
import type { Ec2Handlers, RequestContext } from '../handler.ts'
import { readClientToken } from '../shared/client-tokens.ts'
import { readFilters } from '../shared/filters.ts'
import { readId, readIds } from '../shared/ids.ts'
import { ec2Instance, ec2Reservations, ec2State } from '../shared/instance-shapes.ts'
import { readLaunch } from '../shared/launch-request.ts'
import { templateData } from '../shared/launch-template-data.ts'
import { readTemplateRef, readVersion } from '../shared/launch-template-refs.ts'
import { nextTokenOf, readPage } from '../shared/pagination.ts'
import { scopeOf } from '../shared/scope.ts'
import { withTemplate } from '../shared/template-launch.ts'
import { refuseGiven } from '../shared/unsupported.ts'

export const instanceHandlers: Ec2Handlers<Cloud> = {
  async RunInstances(input, context) {
    const { launches } = context.cloud
    // What was answered stands, whatever has become of the launch template meanwhile.
    const clientToken = readClientToken(input)
    const answered = await launches.answered(scopeOf(context), clientToken)
    const ids =
      answered ?? (await launches.launch(scopeOf(context), { ...(await launchOf(input, context)), clientToken }))
    const { items } = await context.cloud.instances.list(scopeOf(context), { ids })
    return (await reservations(context, items))[0]!
  },

  async DescribeInstances(input, context) {
    const ids = readIds('instance', input.InstanceIds)
    const page = await context.cloud.instances.list(scopeOf(context), {
      ids,
      filters: readFilters(input.Filters),
      page: readPage('DescribeInstances', input, context, { ids: { parameter: 'InstanceIds', given: ids } }),
    })
    return {
      Reservations: await reservations(context, page.items),
      NextToken: nextTokenOf('DescribeInstances', context, page.next),
    }
  },

  async DescribeInstanceStatus(input, context) {
    const ids = readIds('instance', input.InstanceIds)
    const page = await context.cloud.instances.listStatus(scopeOf(context), {
      ids,
      filters: readFilters(input.Filters),
      includeAll: input.IncludeAllInstances ?? false,
      page: readPage('DescribeInstanceStatus', input, context, { ids: { parameter: 'InstanceIds', given: ids } }),
    })
    return {
      InstanceStatuses: page.items.map(ec2Status),
      NextToken: nextTokenOf('DescribeInstanceStatus', context, page.next),
    }
  },

  async StartInstances(input, context) {
    const changes = await context.cloud.instances.start(scopeOf(context), requiredIds(input.InstanceIds))
    return { StartingInstances: changes.map(ec2Change) }
  },

  async StopInstances(input, context) {
    refuseGiven({ Hibernate: input.Hibernate })
    const options = { force: input.Force || input.SkipOsShutdown || false }
    const changes = await context.cloud.instances.stop(scopeOf(context), requiredIds(input.InstanceIds), options)
    return { StoppingInstances: changes.map(ec2Change) }
  },

  async RebootInstances(input, context) {
    await context.cloud.instances.reboot(scopeOf(context), requiredIds(input.InstanceIds))
    return {}
  },

  async TerminateInstances(input, context) {
    const changes = await context.cloud.instances.terminate(scopeOf(context), requiredIds(input.InstanceIds))
    return { TerminatingInstances: changes.map(ec2Change) }
  },

  async GetConsoleOutput(input, context) {
    const id = readId('instance', input.InstanceId!)
    const output = await context.cloud.instances.console(scopeOf(context), id)
    if (!output) return { InstanceId: id, Timestamp: undefined }
    // EC2 sends the text in base64, and its clients decode it.
    return {
      InstanceId: id,
      Timestamp: new Date(output.atMs),
      Output: Buffer.from(output.text, 'utf8').toString('base64'),
    }
  },
}

async function launchOf(input: RunInstancesRequest, context: RequestContext<Cloud>): Promise<LaunchRequest> {
  const { LaunchTemplate: template } = input
  if (!template) return readLaunch(input)
  const ref = readTemplateRef(template)
  const wanted = template.Version ? readVersion('LaunchTemplate.Version', template.Version) : 'default'
  const { templateId: id, version, data } = await context.cloud.launchTemplates.version(scopeOf(context), ref, wanted)
  return { ...readLaunch(withTemplate(templateData(data), input)), template: { id, version } }
}

function requiredIds(ids: readonly string[] | undefined): string[] {
  const read = readIds('instance', ids)
  if (!read) throw new KilnError('MissingParameter', 'The request must contain the parameter InstanceId')
  return read
}

async function reservations(context: RequestContext<Cloud>, items: readonly InstanceView[]): Promise<Reservation[]> {
  const ids = items.flatMap((item) => [item.id, ...item.interfaces.map((nic) => nic.id)])
  const tags = await context.cloud.tags.of(scopeOf(context), ids)
  return ec2Reservations(items.map((item): [InstanceView, Instance] => [item, ec2Instance(item, tags)]))
}

const ec2Change = (change: StateChange): InstanceStateChange => ({
  InstanceId: change.instanceId,
  PreviousState: ec2State(change.previous),
  CurrentState: ec2State(change.current),
})

const summaries = {
  passed: 'ok',
  failed: 'impaired',
  initializing: 'initializing',
  'insufficient-data': 'insufficient-data',
} as const

function ec2Status(instance: Parameters<typeof ec2StateOf>[0]): InstanceStatus {
  const isRunning = instance.state === 'running'
  const reachability = isRunning ? instance.reachability : 'insufficient-data'
  const status = (value: keyof typeof summaries) => ({
    Status: isRunning ? summaries[value] : ('not-applicable' as const),
    Details: isRunning ? [{ Name: 'reachability' as const, Status: value }] : undefined,
  })
  return {
    InstanceId: instance.id,
    AvailabilityZone: instance.zone,
    InstanceState: ec2StateOf(instance),
    InstanceStatus: status(reachability),
    // The host is up, or nobody would answer this.
    SystemStatus: status('passed'),
    AttachedEbsStatus: status('passed'),
  }
}

const ec2StateOf = (instance: Pick<InstanceView, 'id' | 'state' | 'zone' | 'reachability'>) => ec2State(instance.state)
