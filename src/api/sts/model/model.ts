import { modelAt } from '../../ec2/model/model.ts'

/** AWS's model of STS: the operations that are served, and the names of all others. */
export const stsModel = modelAt(new URL('./model.generated.json', import.meta.url))
