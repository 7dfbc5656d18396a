/** Time for a test cloud in which months go by. */
import { systemClock } from '../../src/lib/clock.ts'
import { VirtualTime } from '../../src/lib/virtual-clock.ts'
import type { TestCloud, TestCloudOptions } from './test-cloud.ts'

export const hourMs = 3600_000
export const dayMs = 24 * hourMs

export class LivedTime extends VirtualTime {
  /** What a cloud is opened with to live in this time. */
  options(): Pick<TestCloudOptions, 'clock' | 'uptime' | 'hostClock'> {
    return { clock: this.process().clock, uptime: this.uptime, hostClock: systemClock }
  }

  /** What is left of the second that has begun (ms). */
  get leftOfSecondMs(): number {
    return 999 - (this.now() % 1000)
  }

  /** Waits until the cloud has done what it was asked, before the second is over. */
  async rest({ cloud }: Pick<TestCloud, 'cloud'>): Promise<void> {
    await this.settle({ isQuiet: () => cloud.isAtRest(), mostMs: this.leftOfSecondMs })
  }

  /** It is that time (ms), and the cloud has seen it. */
  async reach(on: Pick<TestCloud, 'cloud'>, timeMs: number): Promise<void> {
    this.leap(timeMs - this.now())
    await this.rest(on)
  }
}
