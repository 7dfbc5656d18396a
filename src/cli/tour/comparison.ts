/** The comparison of EBS-backed and instance store-backed instances, with what this machine measured beside each row. */
import { limits } from '../../lib/limits.ts'
import { duration, table } from '../render.ts'

/** Of one kind of instance. Times in milliseconds. */
export interface Figures {
  /** From RunInstances to a login. */
  bootMs: number
  /** From the first command to an image that is available. */
  creationMs: number
  /** What its termination left. */
  outcome: string
}

export interface Measured {
  ebs: Figures
  store: Figures
  /** From StopInstances to started again, with the file found. */
  stopStartMs: number
  /** The error code that stopping an instance store-backed instance gives. */
  stopRefusal: string
  /** What the walk's type, and the one that has most, have of the instance store. */
  type: { type: string; gb: number }
  largestType: { type: string; gb: number }
}

/** The tutorial's example: dollars an hour of running, dollars a month for 100 GB, four hours of use a day. */
const rates = { hour: 0.1, volumeMonth: 5, hoursUsedADay: 4, hoursADay: 24, daysAMonth: 30 }
const tib = (gib: number) => `${gib / 1024} TiB`

export function comparison({ ebs, store, stopStartMs, stopRefusal, type, largestType }: Measured): string {
  const { hour, volumeMonth, hoursUsedADay, hoursADay, daysAMonth } = rates
  const always = hoursADay * daysAMonth * hour
  const whenUsed = hoursUsedADay * daysAMonth * hour
  const rootGib = limits.instanceStoreRootBytes / 1024 ** 3
  const ephemeral = ({ type: name, gb }: Measured['type']) => `${gb} GB on ${name}`
  const rows: [characteristic: string, ebs: [string, string], store: [string, string]][] = [
    [
      'Lifecycle',
      ['stops and starts again', `stopped, started, its file found: ${duration(stopStartMs)}`],
      ['runs or is terminated', `StopInstances answers ${stopRefusal}`],
    ],
    ['Data persistence', ['persists in the volume', ebs.outcome], ['lost on termination', store.outcome]],
    [
      'Boot time',
      ['less than 1 min', `launch to login: ${duration(ebs.bootMs)}`],
      ['usually less than 5 min', `launch to login: ${duration(store.bootMs)}`],
    ],
    [
      'Size limit',
      ['1 TB', `16 TiB a volume (gp2, gp3), ${tib(limits.volumeGibMax)} (io2)`],
      ['10 - 16 TB', `${rootGib} GiB of root; beside it ${ephemeral(type)}, ${ephemeral(largestType)}`],
    ],
    [
      'AMI creation',
      ['one command', `CreateImage: ${duration(ebs.creationMs)}`],
      ['needs the AMI tools', `bundle, upload, register: ${duration(store.creationMs)}`],
    ],
    [
      'Expensive',
      [
        'less',
        `${hoursUsedADay} h x ${daysAMonth} x ${dollars(hour)} + ${dollars(volumeMonth)} = ${dollars(whenUsed)} + ${dollars(volumeMonth)} = ${dollars(whenUsed + volumeMonth)} a month`,
      ],
      ['more', `${hoursADay} h x ${daysAMonth} x ${dollars(hour)} = ${dollars(always)} a month`],
    ],
  ]
  const lines = rows.flatMap(([characteristic, ebsCells, storeCells]) => [
    [characteristic, 'EBS', ...ebsCells],
    ['', 'instance store', ...storeCells],
  ])
  return [
    table(['characteristic', 'root', 'the tutorial', 'this machine'], lines, ''),
    '',
    `Costs are the tutorial's arithmetic at its own rates (${hoursUsedADay} hours of use a day, 100 GB): Kiln meters no prices yet.`,
  ].join('\n')
}

const dollars = (amount: number) => `$${amount.toFixed(2)}`
