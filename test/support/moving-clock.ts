/** Real time, which a test can move on: waiting takes as long as it does, and days go by at once. */
import { type Clock, systemClock } from '../../src/lib/clock.ts'

export interface MovingClock extends Clock {
  moveOn(ms: number): void
}

export function movingClock(): MovingClock {
  let aheadMs = 0
  return {
    now: () => systemClock.now() + aheadMs,
    sleep: systemClock.sleep,
    moveOn(ms) {
      aheadMs += ms
    },
  }
}
