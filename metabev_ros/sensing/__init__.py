"""Messages in, labelled samples out: decoding, calibration, health, synchronisation.

No ROS import: a message is any object with the field names of its ROS type. The way in is
`front_end.SensorFrontEnd`.
"""
