/**
 * The smallest guest that tests can reason about: a boot sector that runs under SeaBIOS with no operating system, up in a
 * fifth of a second without hardware help. Eighteen times a second it
 *
 * - counts, and writes the count to sector 1 of the first disk, then of the second;
 * - reads from a place of the first disk that it has not read before (128 KiB further every time);
 * - prints `tick.`, or `tick!` when that read failed, to the serial port;
 * - switches itself off when it has counted to its limit, or when the power button was pressed, unless it ignores it.
 *
 * After the first disk's count comes the second's: whoever looks at both at one instant sees equal counts, or the first
 * one ahead by one.
 */

export interface TestGuest {
  ignoresPowerButton?: boolean
  /** Switches itself off after so many ticks. */
  ticks?: number
  /** Does not wait between two ticks: its disks never rest. */
  restless?: boolean
}

const sectorBytes = 512
export const counterOffset = sectorBytes
/** From one place that the guest reads to the next. */
export const guestStrideBytes = 256 * sectorBytes

const waitAndTick = 'f4 eb8d'
const tickAtOnce = '90 eb8d'

/** Real-mode machine code and what it says, loaded at 0x7c00. 0x600 to 0x605 are the chipset's ACPI registers. */
const program: readonly (readonly [hex: string, meaning: string])[] = [
  ['fa 31c0 8ed8 8ed0 bc007c fb fc', 'flat segments, stack below the code, interrupts on'],
  ['ba0206 b80001 ef', 'PM1_EN: the power button shall be reported'],
  ['66c706008000000000', 'count = 0'],
  ['bea97c e84900', 'print "boot"'],
  ['66ff060080', 'tick: count += 1'],
  ['c706ba7c0080 66c706be7c01000000', 'packet: the sector with the count, to sector 1'],
  ['b88043 e86300', 'write it to the first disk'],
  ['b88143 e85d00', 'and to the second'],
  ['66a10080 66c1e008 66a3be7c', 'packet: sector count * 256'],
  ['c706ba7c0090', 'packet: into scrap memory'],
  ['b88042 e84500', 'read it from the first disk'],
  ['b02e 7302 b021 a2b37c', 'the mark is "." or, with the carry flag, "!"'],
  ['beaf7c e80200 eb12', 'print "tick" and the mark, go on at weigh'],
  ['bafd03 ec a820 74fb', 'print: wait until the serial port takes a byte'],
  ['ac baf803 ee 3c0a 75ef c3', 'send the next one, return after a line feed'],
  ['66a10080 663b06c87c 740d', 'weigh: off when the count is the limit'],
  ['ba0006 ed 8506c67c 7503', 'off when PM1_STS shows the button and we obey it'],
  [waitAndTick, 'wait for the next timer interrupt, then tick'],
  ['ba0406 b80020 ef f4 ebf6', 'off: SLP_EN to PM1_CNT'],
  ['88c2 b000 beb67c cd13 c3', 'disk: BIOS call AH on drive AL with the packet'],
  [`${hexOf('boot\r\n')} ${hexOf('tick.\r\n')}`, 'texts'],
  ['10000100 00000000 0000000000000000', 'packet: one sector'],
]
const buttonMask = 0x0100

function hexOf(text: string): string {
  return Buffer.from(text, 'latin1').toString('hex')
}

/** The first sector of a disk that boots this guest; the rest of the disk may hold anything. */
export function bootSector(guest: TestGuest = {}): Buffer {
  const sector = Buffer.alloc(sectorBytes)
  const steps = program.map(([hex]) => (guest.restless && hex === waitAndTick ? tickAtOnce : hex))
  const code = Buffer.from(steps.join('').replaceAll(' ', ''), 'hex')
  code.copy(sector)
  sector.writeUInt16LE(guest.ignoresPowerButton ? 0 : buttonMask, code.length)
  sector.writeUInt32LE(guest.ticks ?? 0, code.length + 2)
  sector.writeUInt16LE(0xaa55, sectorBytes - 2)
  return sector
}
